# Nothing here expires an object of the cluster, whatever is asked: a record whose object is missing cannot be read
# (docs/bucket.md). Brokers delete what nothing names any more.

data "aws_s3_bucket" "existing" {
  count  = var.existing ? 1 : 0
  bucket = var.bucket_name
}

# prevent_destroy cannot depend on a variable. What protects the records is force_destroy = false: S3 deletes no bucket that
# has objects in it, and a plan that would replace it fails there.
resource "aws_s3_bucket" "made" {
  count = var.existing ? 0 : 1

  bucket        = var.bucket_name
  force_destroy = var.force_destroy
  tags          = var.tags
}

resource "aws_s3_bucket_public_access_block" "made" {
  count = var.existing ? 0 : 1

  bucket                  = aws_s3_bucket.made[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "made" {
  count = var.existing ? 0 : 1

  bucket = aws_s3_bucket.made[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "made" {
  count = var.existing ? 0 : 1

  bucket = aws_s3_bucket.made[0].id

  rule {
    bucket_key_enabled = var.kms_key_arn != ""

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == "" ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn == "" ? null : var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "made" {
  count = !var.existing && var.versioning ? 1 : 0

  bucket = aws_s3_bucket.made[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "made" {
  count = var.existing ? 0 : 1

  bucket = aws_s3_bucket.made[0].id

  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_incomplete_days
    }
  }

  # Versions of objects that brokers have deleted, and the marks that hide them. Current versions are never touched. It is here
  # without versioning, too: a bucket that had it keeps its old versions, and nothing else would ever delete them.
  rule {
    id     = "forget-deleted-objects"
    status = "Enabled"

    filter {
      prefix = ""
    }

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.made]
}

resource "aws_s3_bucket_policy" "made" {
  count = var.existing ? 0 : 1

  bucket = aws_s3_bucket.made[0].id
  policy = var.bucket_policy_json

  depends_on = [aws_s3_bucket_public_access_block.made]

  lifecycle {
    precondition {
      condition     = strcontains(var.bucket_policy_json, ":s3:::${var.bucket_name}/")
      error_message = "bucket_policy_json is of another bucket than ${var.bucket_name}: give the module plan the same bucket_name."
    }
    precondition {
      condition     = strcontains(var.bucket_policy_json, "aws:SecureTransport")
      error_message = "bucket_policy_json lets clients in that do not use TLS: give bucket_policy_json of the module plan."
    }
  }
}
