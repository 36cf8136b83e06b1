"""What is wrong for MWAA: one module for each rule, in the folder of what it looks at (how: see one folder up)."""
