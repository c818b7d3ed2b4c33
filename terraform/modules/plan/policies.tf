locals {
  bucket_arn = "arn:${var.partition}:s3:::${local.names.bucket}"
  below      = var.prefix == "" ? "" : "${var.prefix}/"

  # What `runnel generate iam-policy` writes; a test compares them. Lists everywhere, also of one, in the same order.
  broker_policy = {
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "GetObject"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = [for folder in ["t0", "t1"] : "${local.bucket_arn}/${local.below}${folder}/*"]
        },
        {
          Sid      = "PutObject"
          Effect   = "Allow"
          Action   = ["s3:PutObject"]
          Resource = [for folder in ["t0", "t1", "position", "index"] : "${local.bucket_arn}/${local.below}${folder}/*"]
        },
        {
          Sid      = "DeleteObject"
          Effect   = "Allow"
          Action   = ["s3:DeleteObject"]
          Resource = [for folder in ["t0", "t1", "position", "index"] : "${local.bucket_arn}/${local.below}${folder}/*"]
        },
        merge(
          {
            Sid      = "ListBucket"
            Effect   = "Allow"
            Action   = ["s3:ListBucket"]
            Resource = [local.bucket_arn]
          },
          # IfExists: S3 asks for this permission, without a prefix, when an object is missing, and answers 403 without it.
          var.prefix == "" ? {} : { Condition = { StringLikeIfExists = { "s3:prefix" = ["${local.below}*"] } } },
        ),
      ],
      [for key in compact([var.kms_key_arn]) : {
        Sid      = "UseKey"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = [key]
        # S3 names the bucket (with a bucket key) or the object when it uses the key for a broker.
        Condition = { StringLike = { "kms:EncryptionContext:aws:s3:arn" = [local.bucket_arn, "${local.bucket_arn}/${local.below}*"] } }
      }],
      # Not known before the database is made, and then not empty: hence no condition that asks whether it is.
      [for known in var.database_resource_arn == "" ? [] : ["database"] : {
        Sid      = "ConnectDatabase"
        Effect   = "Allow"
        Action   = ["rds-db:connect"]
        Resource = [var.database_resource_arn]
      }],
    )
  }

  # The statements of the bucket are denials: they allow nobody anything, and bind everybody, in this account and others.
  bucket_policy = {
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "DenyWithoutTLS"
          Effect    = "Deny"
          Principal = "*"
          Action    = ["s3:*"]
          Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
          Condition = { Bool = { "aws:SecureTransport" = ["false"] } }
        },
        {
          Sid       = "DenyOldTLS"
          Effect    = "Deny"
          Principal = "*"
          Action    = ["s3:*"]
          Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
          Condition = { NumericLessThan = { "s3:TlsVersion" = ["1.2"] } }
        },
      ],
      # Brokers name no key, and the bucket's default is used. Who names another, or another kind, is refused. Without the
      # Null, StringNotEquals would be true for who names none.
      [for key in compact([var.kms_key_arn]) : {
        Sid       = "DenyOtherKeys"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:PutObject"]
        Resource  = ["${local.bucket_arn}/*"]
        Condition = {
          Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = ["false"] }
          StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = [key] }
        }
      }],
      [for key in compact([var.kms_key_arn]) : {
        Sid       = "DenyOtherEncryption"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:PutObject"]
        Resource  = ["${local.bucket_arn}/*"]
        Condition = {
          Null            = { "s3:x-amz-server-side-encryption" = ["false"] }
          StringNotEquals = { "s3:x-amz-server-side-encryption" = ["aws:kms"] }
        }
      }],
    )
  }
}
