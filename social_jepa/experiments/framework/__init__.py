"""What every experiment shares: tasks, processes, scores, tables, pages."""
