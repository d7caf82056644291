"""Point clouds: neighbours, dimension, maps to the plane."""
