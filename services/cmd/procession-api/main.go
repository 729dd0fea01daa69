// Command procession-api serves the clients of Procession.
package main

import (
	"os"

	"procession.example/services/internal/gateway"
)

// version is set by the linker.
var version = "devel"

func main() {
	os.Exit(gateway.Program(version).Main(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}
