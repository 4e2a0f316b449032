"""Files of jets, their layouts, and how they are read and written."""
