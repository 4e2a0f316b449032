"""Classification: which class a jet is of."""
