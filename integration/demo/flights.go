package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

//go:embed data/flights.csv.gz
var flightsFile []byte

// flight is one record of the data set, and the value of one record in the topic.
type flight struct {
	Departure   time.Time `json:"departure"` // local time of the origin, which the data does not relate to UTC
	Origin      string    `json:"origin"`
	Destination string    `json:"destination"`
	Miles       int       `json:"miles"`
	Delay       int       `json:"delay"` // minutes at arrival, negative if early
}

// readFlights returns the data set in its order.
func readFlights() ([]flight, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(flightsFile))
	if err != nil {
		return nil, fmt.Errorf("unzip flights: %w", err)
	}
	rows := csv.NewReader(unzipped)
	rows.FieldsPerRecord = 5
	if _, err := rows.Read(); err != nil { // the names of the columns
		return nil, fmt.Errorf("read flights: %w", err)
	}
	var flights []flight
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return flights, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read flights: %w", err)
		}
		f, err := parseFlight(row)
		if err != nil {
			return nil, fmt.Errorf("read flight %d: %w", len(flights)+1, err)
		}
		flights = append(flights, f)
	}
}

func parseFlight(row []string) (flight, error) {
	departure, err := time.Parse("2006/01/02 15:04", row[0])
	if err != nil {
		return flight{}, err
	}
	miles, err := strconv.Atoi(row[3])
	if err != nil {
		return flight{}, err
	}
	delay, err := strconv.Atoi(row[4])
	if err != nil {
		return flight{}, err
	}
	return flight{Departure: departure, Origin: row[1], Destination: row[2], Miles: miles, Delay: delay}, nil
}

func decodeFlight(value []byte) (flight, error) {
	var f flight
	err := json.Unmarshal(value, &f)
	return f, err
}
