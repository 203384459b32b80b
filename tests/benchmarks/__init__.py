"""The figures that sagafsm is to reach, measured beside raw baselines and peers; a script, never a timed test."""
