"""The commands, a module each: `python -m iadlib COMMAND` calls the function of that name."""
