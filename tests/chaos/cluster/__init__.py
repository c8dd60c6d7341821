"""The platform as operators run it, several of each, while everything of it is killed."""
