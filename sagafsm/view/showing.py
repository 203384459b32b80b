"""How the values of the core are shown in a notebook: registered with `sagafsm.reprs`, which imports this module."""
