"""An exhaustive model of the pure core: sagas, the world beside them, an environment that may do anything, the laws."""
