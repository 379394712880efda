"""Contests: where a task and a method are brought together without ever meeting each other."""
