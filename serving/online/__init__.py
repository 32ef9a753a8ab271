"""Online prediction without skew: the features of an entity at a time, and what the model says."""
