package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/runnel-io/runnel/partition/record"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
	"github.com/runnel-io/runnel/rpc/client"
)

// Produce returns at once; the promise tells the fate of each record.
func ExampleClient_Produce() {
	c, err := client.New([]string{"localhost:7070"}, client.WithCompression(record.CodecZstd))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing to do about it

	ctx := context.Background()
	for i := range 1000 {
		r := &client.Record{Topic: "orders", Partition: client.AnyPartition, Key: fmt.Append(nil, i%10), Value: []byte("...")}
		c.Produce(ctx, r, func(r *client.Record, err error) {
			if err == nil {
				return // r.Partition and r.Offset tell where it is
			}
			if runnelv1.AsError(err).GetKind() == runnelv1.ErrorKind_ERROR_KIND_INDETERMINATE {
				log.Printf("record %s may be written: %v", r.Key, err)
				return
			}
			log.Printf("record %s is not written: %v", r.Key, err)
		})
	}
	if err := c.Flush(ctx); err != nil {
		log.Print(err)
	}
}

// ProduceSync waits until the records are on disk on a majority of replicas.
func ExampleClient_ProduceSync() {
	c, err := client.New([]string{"localhost:7070"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing to do about it

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r := &client.Record{Topic: "orders", Partition: client.AnyPartition, Value: []byte("hello")}
	if err := c.ProduceSync(ctx, r); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("written to partition %d at offset %d\n", r.Partition, r.Offset)
}

// A reader goes on for ever, over leader changes and broken connections, until its context ends.
func ExampleReader_Records() {
	c, err := client.New([]string{"localhost:7070"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing to do about it

	r, err := c.NewReader("orders", client.FromTime(time.Now().Add(-time.Hour)))
	if err != nil {
		log.Fatal(err)
	}
	for rec, err := range r.Records(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d/%d %s\n", rec.Partition, rec.Offset, rec.Value)
	}
}

// ToEnd makes the iteration finite: it ends at the end that the topic had when the reader was opened.
func ExampleToEnd() {
	c, err := client.New([]string{"localhost:7070"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing to do about it

	r, err := c.NewReader("orders", client.FromStart(), client.ToEnd())
	if err != nil {
		log.Fatal(err)
	}
	n := 0
	for _, err := range r.Records(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		n++
	}
	fmt.Println(n, "records")
}

// Admin creates topics; the call returns when every partition has a leader.
func ExampleClient_Admin() {
	c, err := client.New([]string{"localhost:7070"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing to do about it

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err = c.Admin().CreateTopic(ctx, &runnelv1.CreateTopicRequest{
		Name: "orders", Partitions: 12, ReplicationFactor: 3, Config: map[string]string{"retention.ms": "604800000"},
	})
	if err != nil {
		log.Fatal(err)
	}
}

// Example is the README's: write one record, read everything back.
func Example() {
	ctx := context.Background()
	roundTrip := func() error {
		cl, err := client.New([]string{"127.0.0.1:7070"})
		if err != nil {
			return err
		}
		defer cl.Close()
		if err := cl.ProduceSync(ctx, &client.Record{Topic: "orders", Partition: -1, Key: []byte("customer-7"), Value: []byte("hello")}); err != nil {
			return err // *runnelv1.Error: definite, indeterminate or retriable
		}
		r, err := cl.NewReader("orders", client.FromStart(), client.ToEnd())
		if err != nil {
			return err
		}
		defer r.Close()
		for rec, err := range r.Records(ctx) {
			if err != nil {
				return err
			}
			fmt.Printf("%s = %s\n", rec.Key, rec.Value)
		}
		return nil
	}
	if err := roundTrip(); err != nil {
		log.Fatal(err)
	}
}
