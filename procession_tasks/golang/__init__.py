"""Go programs: the toolchain, the inputs of a program, compiling."""
