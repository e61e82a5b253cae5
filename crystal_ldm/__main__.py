"""`python -m crystal_ldm`: the same as the command `crystal-ldm`."""

from crystal_ldm.workflow.command_line import main

if __name__ == "__main__":
    main()
