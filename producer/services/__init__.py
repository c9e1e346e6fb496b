"""Starting and ending the processes that make up Drumline on one machine."""
