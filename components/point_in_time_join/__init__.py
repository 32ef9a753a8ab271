"""PointInTimeJoin: what was known of each entity at each observation, and nothing later."""
