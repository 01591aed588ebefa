"""What an operator is, the algebra between operators, and the solvers and checks that serve all of them."""
