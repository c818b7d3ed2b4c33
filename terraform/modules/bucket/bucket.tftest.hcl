mock_provider "aws" {
  mock_resource "aws_s3_bucket" {
    defaults = { id = "demo-bucket", arn = "arn:aws:s3:::demo-bucket" }
  }
}

variables {
  bucket_name        = "demo-bucket"
  bucket_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":[\"s3:*\"],\"Resource\":[\"arn:aws:s3:::demo-bucket\",\"arn:aws:s3:::demo-bucket/*\"],\"Condition\":{\"Bool\":{\"aws:SecureTransport\":[\"false\"]}}}]}"
  tags               = { team = "streaming" }
}

run "makes_a_bucket_that_nobody_else_reads" {
  assert {
    condition     = alltrue([for flag in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] : aws_s3_bucket_public_access_block.made[0][flag]])
    error_message = "something public is not blocked"
  }
  assert {
    condition     = one(aws_s3_bucket_ownership_controls.made[0].rule).object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs are in force"
  }
  assert {
    condition     = aws_s3_bucket_policy.made[0].policy == var.bucket_policy_json
    error_message = "another policy"
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.made[0].rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "objects are not encrypted with SSE-S3"
  }
  assert {
    condition     = !aws_s3_bucket.made[0].force_destroy && aws_s3_bucket.made[0].tags == tomap({ team = "streaming" })
    error_message = "destroy would delete records, or tags are missing"
  }
  assert {
    condition     = length(aws_s3_bucket_versioning.made) == 0
    error_message = "versions were not asked for"
  }
  assert {
    condition     = output.name == "demo-bucket" && output.arn == "arn:aws:s3:::demo-bucket"
    error_message = "${output.name}, ${output.arn}"
  }
}

run "records_are_never_expired" {
  assert {
    condition     = [for r in aws_s3_bucket_lifecycle_configuration.made[0].rule : r.id] == ["abort-incomplete-uploads", "forget-deleted-objects"]
    error_message = jsonencode(aws_s3_bucket_lifecycle_configuration.made[0].rule[*].id)
  }
  assert {
    condition     = alltrue([for r in aws_s3_bucket_lifecycle_configuration.made[0].rule : length(r.transition) + length(r.noncurrent_version_transition) == 0 && alltrue([for e in r.expiration : e.expired_object_delete_marker && coalesce(e.days, 0) == 0 && e.date == null])])
    error_message = "a rule expires or moves objects"
  }
  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.made[0].rule[0].abort_incomplete_multipart_upload).days_after_initiation == 1
    error_message = "incomplete uploads stay"
  }
  # Of a bucket that had versioning: nothing else deletes them, and they are paid for.
  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.made[0].rule[1].noncurrent_version_expiration).noncurrent_days == 8
    error_message = "without versioning, old versions stay for ever"
  }
}

run "versions_end_and_records_do_not" {
  variables {
    versioning      = true
    noncurrent_days = 30
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.made[0].versioning_configuration).status == "Enabled"
    error_message = "no versions"
  }
  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.made[0].rule[1].noncurrent_version_expiration).noncurrent_days == 30
    error_message = "versions of deleted objects are paid for for ever, or too short"
  }
  # What expires by age is noncurrent; of current objects, only the marks that hide nothing any more.
  assert {
    condition     = alltrue(flatten([for r in aws_s3_bucket_lifecycle_configuration.made[0].rule : [for e in r.expiration : e.expired_object_delete_marker && coalesce(e.days, 0) == 0 && e.date == null]]))
    error_message = "a rule expires current objects"
  }
}

run "key_of_ones_own" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:012345678901:key/abc"
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.made[0].rule).bucket_key_enabled
    error_message = "each object would ask KMS"
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.made[0].rule).apply_server_side_encryption_by_default).kms_master_key_id == "arn:aws:kms:eu-central-1:012345678901:key/abc" && one(one(aws_s3_bucket_server_side_encryption_configuration.made[0].rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "not encrypted with the key"
  }
}

run "changes_nothing_of_a_bucket_that_there_is" {
  variables {
    existing = true
  }

  override_data {
    target = data.aws_s3_bucket.existing[0]
    values = { id = "demo-bucket", arn = "arn:aws:s3:::demo-bucket" }
  }

  assert {
    condition     = length(aws_s3_bucket.made) + length(aws_s3_bucket_policy.made) + length(aws_s3_bucket_lifecycle_configuration.made) + length(aws_s3_bucket_public_access_block.made) + length(aws_s3_bucket_ownership_controls.made) + length(aws_s3_bucket_server_side_encryption_configuration.made) == 0
    error_message = "something of it was changed"
  }
  assert {
    condition     = output.name == "demo-bucket" && output.arn == "arn:aws:s3:::demo-bucket"
    error_message = "${output.name}, ${output.arn}"
  }
}

run "refuses_the_policy_of_another_bucket" {
  command = plan

  variables {
    bucket_name = "another-bucket"
  }

  expect_failures = [aws_s3_bucket_policy.made]
}

run "refuses_a_policy_without_tls" {
  command = plan

  variables {
    bucket_policy_json = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Resource\":[\"arn:aws:s3:::demo-bucket/*\"]}]}"
  }

  expect_failures = [aws_s3_bucket_policy.made]
}

run "refuses_what_is_no_policy" {
  command = plan

  variables {
    bucket_policy_json = "{}"
  }

  expect_failures = [var.bucket_policy_json]
}

run "refuses_a_url" {
  command = plan

  variables {
    bucket_name = "s3://demo-bucket"
  }

  expect_failures = [var.bucket_name]
}

run "refuses_to_forget_versions_at_once" {
  command = plan

  variables {
    versioning      = true
    noncurrent_days = 0
  }

  expect_failures = [var.noncurrent_days]
}
