"""Where work runs: in this process or on Ray, behind one interface."""
