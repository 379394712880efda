"""Trials: planned before they are played, played in any order on any engine, written to the ledger one by one."""
