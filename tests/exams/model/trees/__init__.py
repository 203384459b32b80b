"""An exhaustive model of groups and nested sagas: the real drive over a store that can crash, and the laws of trees."""
