"""Framework of all experiments: conditions, scores, tasks in processes, results documents and pages."""
