// Command withservers runs a command beside a PostgreSQL and an S3 server of its own:
//
//	go run ./cmd/withservers -- go test ./...
//
// The command finds the superuser's URL of PostgreSQL in RUNNEL_TEST_POSTGRES and the bucket, as
// http://ACCESS:SECRET@HOST:PORT/BUCKET, in RUNNEL_TEST_S3. With --kafka there is an Apache Kafka broker too, as a
// reference, and RUNNEL_TEST_KAFKA is its address. With --minio the S3 server is MinIO, also where tests start one of their own.
// The servers stop when the command ends; its exit code is ours.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

func main() {
	durable := flag.Bool("durable", false, "run PostgreSQL with fsync on")
	kafka := flag.Bool("kafka", false, "run an Apache Kafka broker too; the working directory must be integration")
	minio := flag.Bool("minio", false, "run MinIO as the S3 server; RUNNEL_TEST_MINIO is its path, or build")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, *durable, *kafka, *minio, flag.Args()); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "withservers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, durable, withKafka, minio bool, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("no command; usage: withservers [--durable] -- COMMAND ARGUMENT")
	}
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return err
	}
	postgres, err := servers.OpenPostgres(ctx, servers.PostgresOptions{Durable: durable})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Close()) }()
	open := servers.OpenS3
	if minio {
		open = openMinIO
	}
	s3, err := open(ctx, tools)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s3.Close()) }()
	env := append(os.Environ(), "RUNNEL_TEST_POSTGRES="+postgres.DSN(), "RUNNEL_TEST_S3="+s3.URL())
	if minio {
		env = append(env, harness.ServerEnv+"=minio")
	}
	if withKafka {
		classes, err := tools.JavaClasses(ctx, "compat/clients/java/pom.xml")
		if err != nil {
			return err
		}
		kafka, err := servers.OpenKafka(ctx, classes, servers.KafkaOptions{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, kafka.Close()) }()
		env = append(env, "RUNNEL_TEST_KAFKA="+kafka.Bootstrap)
	}

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd.Run()
}

func openMinIO(ctx context.Context, tools toolchain.Cache) (*servers.S3, error) {
	bin, err := servers.FindMinIO(ctx, tools)
	if err != nil {
		return nil, err
	}
	return servers.OpenMinIO(ctx, bin)
}
