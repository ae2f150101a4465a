"""The screens: layout and keys; what they show is computed elsewhere."""
