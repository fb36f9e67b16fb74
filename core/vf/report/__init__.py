"""What a run was, what came of it and where it errs, on one page."""
