"""Real servers for tests, as plain processes built from package registries; nothing here needs containers."""
