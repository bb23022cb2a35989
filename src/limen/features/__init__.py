"""One folder per capability. The same file names in each; a missing file is a missing capability."""
