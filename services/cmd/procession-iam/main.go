// Command procession-iam manages users and organizations.
package main

import (
	"os"

	"procession.example/services/internal/iam"
)

// version is set by the linker.
var version = "devel"

func main() {
	os.Exit(iam.Program(version).Main(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}
