"""What several families, or one large one, are made of."""
