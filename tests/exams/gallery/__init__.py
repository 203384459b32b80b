"""Sagas with one seeded mistake each, and correct ones that look suspicious: the exam of the verifier.

`gallery.catalogue` gathers them as MISTAKES and CORRECT. The pieces know nothing of any verifier: they are written from
its specification, and `test_gallery_pieces` shows by schedules of its own that each is what it says.
"""
