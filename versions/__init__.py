"""Old and new versions of the libraries: which combinations there are, how each is run, what came of it."""
