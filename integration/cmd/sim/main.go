package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/runnel-io/runnel/integration/sim/overlay"
)

func main() {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		panic(err)
	}
	dir := "/tmp/simw"
	f, err := overlay.Write(strings.TrimSpace(string(out)), dir)
	if err != nil {
		panic(err)
	}
	c := exec.Command("go", "test", "-c", "-overlay", f, "-tags", overlay.Tag, "-o", dir+"/sim.test", "./sim")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	fmt.Println(c.Run())
}
