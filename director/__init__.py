"""The face of longtake: storyboards, plans, productions, the cut and the command line."""
