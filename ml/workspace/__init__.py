"""Where everything lies on disk, and how a step runs: the only package that builds paths of the workspace."""
