"""What leaves the workbench: code, files, recipes."""
