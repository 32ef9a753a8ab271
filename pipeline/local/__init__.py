"""Running the pipeline on one machine: the stages in a process of their own, a live table here."""
