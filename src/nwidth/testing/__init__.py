"""Public conformance suites and problems with known answers, for kinds that users write themselves."""
