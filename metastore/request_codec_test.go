package metastore

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func goldenRequest() []SegmentCommit {
	return []SegmentCommit{
		{ID: goldenSegment, Size: 5000, Runs: []RunCommit{
			{TopicPartition: TopicPartition{TopicID{9}, 3}, Position: 32, Batches: []BatchCommit{
				{Length: 100, Records: 2, MaxTimestamp: 50, ProducerID: NoProducerID},
				{Length: 110, Records: 3, MaxTimestamp: -40, ProducerID: 4, ProducerEpoch: 1, BaseSequence: 7, AfterLoss: true},
				{Length: 120, Records: 1, MaxTimestamp: 60, ProducerID: 0, At: 1001},
			}},
			{TopicPartition: TopicPartition{TopicID{8}, 0}, Position: 492, Batches: []BatchCommit{}},
		}},
		{ID: SegmentID{1}, Runs: []RunCommit{}},
	}
}

func goldenAnswer() []SegmentResult {
	return []SegmentResult{
		{Runs: [][]BatchResult{
			{{Accepted, 40, 0}, {Duplicate, 5, 0}, {OutOfOrderSequence, NoOffset, 7}},
			{},
		}},
		{Runs: [][]BatchResult{}},
	}
}

func TestCommitRequestsMatchTheirGoldenFiles(t *testing.T) {
	request := AppendCommitRequest(nil, goldenRequest())
	if want := golden(t, "commit_request.v1", request); !bytes.Equal(request, want) {
		t.Errorf("request\n%x\nwant\n%x", request, want)
	}
	if got, err := DecodeCommitRequest(request); err != nil || !reflect.DeepEqual(got, goldenRequest()) {
		t.Errorf("request came back as %+v (%v)", got, err)
	}
	answer := AppendCommitAnswer(nil, 77, goldenAnswer())
	if want := golden(t, "commit_answer.v1", answer); !bytes.Equal(answer, want) {
		t.Errorf("answer\n%x\nwant\n%x", answer, want)
	}
	through, got, err := DecodeCommitAnswer(answer)
	if err != nil || through != 77 || !reflect.DeepEqual(got, goldenAnswer()) {
		t.Errorf("answer came back as %d, %+v (%v)", through, got, err)
	}
	if !Answers(got, goldenRequest()) || Answers(got[:1], goldenRequest()) || Answers([]SegmentResult{got[1], got[0]}, goldenRequest()) {
		t.Error("the shape of an answer is not told from another")
	}
}

func TestCommitRequestsThatAreCutOrNewerAreRefused(t *testing.T) {
	request, answer := AppendCommitRequest(nil, goldenRequest()), AppendCommitAnswer(nil, 77, goldenAnswer())
	for n := range request {
		if _, err := DecodeCommitRequest(request[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("request cut to %d bytes: %v", n, err)
		}
	}
	for n := range answer {
		if _, _, err := DecodeCommitAnswer(answer[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("answer cut to %d bytes: %v", n, err)
		}
	}
	if _, err := DecodeCommitRequest(append(request, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("request with a byte more: %v", err)
	}
	request[0], answer[0] = requestVersion+1, requestVersion+1
	if _, err := DecodeCommitRequest(request); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("newer request: %v", err)
	}
	if _, _, err := DecodeCommitAnswer(answer); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("newer answer: %v", err)
	}
}

func TestCommitRequestsThatNobodyMayMakeAreInvalid(t *testing.T) {
	twice := goldenRequest()
	twice[1].ID = twice[0].ID
	outside := goldenRequest()
	outside[0].Size = 100
	for name, segments := range map[string][]SegmentCommit{"a segment twice": twice, "a run past the object's end": outside} {
		if _, err := DecodeCommitRequest(AppendCommitRequest(nil, segments)); !errors.Is(err, ErrInvalidCommit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeCommitRequest(f *testing.F) {
	f.Add(AppendCommitRequest(nil, goldenRequest()))
	f.Fuzz(func(t *testing.T, b []byte) {
		segments, err := DecodeCommitRequest(b)
		if err != nil {
			return
		}
		again, err := DecodeCommitRequest(AppendCommitRequest(nil, segments))
		if err != nil || !reflect.DeepEqual(again, segments) {
			t.Errorf("%+v came back as %+v (%v)", segments, again, err)
		}
	})
}

func FuzzDecodeCommitAnswer(f *testing.F) {
	f.Add(AppendCommitAnswer(nil, 77, goldenAnswer()))
	f.Fuzz(func(t *testing.T, b []byte) {
		through, results, err := DecodeCommitAnswer(b)
		if err != nil {
			return
		}
		seq, again, err := DecodeCommitAnswer(AppendCommitAnswer(nil, through, results))
		if err != nil || seq != through || !reflect.DeepEqual(again, results) {
			t.Errorf("%+v came back as %+v (%v)", results, again, err)
		}
	})
}
