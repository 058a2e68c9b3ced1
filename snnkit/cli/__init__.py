"""The command line. Each sub-command is a module that is imported only when it is asked for."""
