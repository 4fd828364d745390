"""Full-order solvers: the reference that every surrogate is measured against.

`choose` picks one from what a problem can do (`solve`, `default_solver`, `explain`):

- grids: `multigrid.Multigrid`, in torch `multigrid.batched.BatchedMultigrid`; `riesz_cg.RieszCG` stops on a bound;
- sparse matrices: `direct.Direct`, `ldlt.BatchedLDLT` (one pattern), `amg.AMG` (pyamg), `kernel.Grounded` (Neumann);
- on top of others, where samples share something: `structure.solver.Structured`, `structure.combined.Combined`;
- in time: `etdrk4.ETDRK4`, `implicit.CrankNicolson`, `implicit.BDF2`.

`base.Solver` is the protocol: `prepare` and `solve`. Each is described in docs/solvers.md.
"""
