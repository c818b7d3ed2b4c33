package servers

import (
	"testing"
)

func TestStandbyHasWhatWasCommittedWhenThePrimaryIsKilled(t *testing.T) {
	ctx := t.Context()
	a, err := OpenPostgres(ctx, PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Execute(ctx, "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	b, err := OpenStandby(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	primary, standby := a, b
	for _, want := range []string{"1", "2", "3"} { // the two take turns
		if err := primary.RequireStandby(ctx); err != nil {
			t.Fatal(err)
		}
		if err := primary.Execute(ctx, "INSERT INTO kept VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := standby.Promote(ctx); err != nil {
			t.Fatal(err)
		}
		if got := query(t, standby.DSN(), "SELECT count(*)::text FROM kept"); got != want {
			t.Errorf("%s rows after the fail-over, want %s", got, want)
		}
		if err := primary.Follow(ctx, standby); err != nil {
			t.Fatal(err)
		}
		primary, standby = standby, primary
	}
}
