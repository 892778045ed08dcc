"""One run over a task's requests: what buying, waiting and delivering take, below the operators."""
