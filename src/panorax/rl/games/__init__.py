"""Games of two players with perfect information, their exact solution, and players."""
