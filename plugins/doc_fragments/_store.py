# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups are kept, and how long work on them is followed: described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  store:
    description: Where backups are kept.
    type: dict
    required: true
    suboptions:
      kind:
        description: An S3 bucket (Amazon's or compatible), or a local or mounted folder.
        type: str
        choices: [s3, folder]
        default: s3
      bucket:
        description: Name of the bucket. Required for V(s3).
        type: str
      prefix:
        description: What the names of all objects begin with.
        type: str
        default: migrations/
      endpoint_url:
        description: Address of an S3 compatible store. Not set means Amazon's.
        type: str
      region:
        description: Region of the bucket. Not set means C(us-east-1).
        type: str
      access_key:
        description: Access key. Not set means what boto3 finds by itself, such as the instance's role.
        type: str
      secret_key:
        description: Secret key. Kept in memory only.
        type: str
      ca_cert:
        description: File with the certificate authorities to trust for O(store.endpoint_url).
        type: path
      checksum:
        description:
          - Checksum of each part and of the whole object that the store computes and compares itself.
          - V(none) is for stores that do not know it. Then sizes are compared, and SHA-256 at restore.
        type: str
        choices: [crc32, none]
        default: crc32
      encryption:
        description:
          - Server-side encryption, beside that of O(store.age_keys).
          - V(bucket) leaves it to the bucket's own default.
        type: str
        choices: [bucket, AES256, 'aws:kms']
        default: bucket
      kms_key:
        description: Key for V(aws:kms). Not set means the account's default key.
        type: str
      path:
        description: The folder. Required for V(folder).
        type: path
      age_keys:
        description:
          - Keys of age, the lines of C(age-keygen) that begin with C(AGE-SECRET-KEY-1). Kept in memory only.
          - New backups are encrypted with the first one before they leave the host. Each of them opens the
            backups that were encrypted with it, so an old key stays in the list as long as its backups.
          - A backup whose key is lost is lost.
        type: list
        elements: str
      age_key_file:
        description:
          - File with such keys on the host, as C(age-keygen) writes it.
          - They come after those of O(store.age_keys).
        type: path
"""

    WORK = r"""
options:
  client_folder:
    description:
      - Folder with C(pg_dump) and C(pg_restore) of the major that the database is, or was, backed up from.
      - Not set means that C(PATH) and the folders of common packages are searched.
    type: path
  work_folder:
    description: Folder for the report of the detached process and for a small file with the schema.
    type: path
    default: /var/lib/emailai-migration
  wait_seconds:
    description:
      - How long to wait for the end of the work.
      - The work itself goes on after that; the same task joins it.
    type: int
    default: 86400
  jobs:
    description: How many streams and sessions work side by side.
    type: int
    default: 2
  data_folder:
    description:
      - The server's data folder, if the server runs on this host and its role may not tell where.
      - Only its free space is read.
    type: path
  follow:
    description:
      - Join work that an earlier call with the same options began, and answer with its result even if it has
        ended since.
      - Set by the controller while it shows progress; there is no need to set it in a task.
    type: bool
    default: false
  readiness:
    description:
      - Look only, and answer RV(ignore:readiness) lines.
      - What cannot be reached is then an open line and not a failure.
    type: bool
    default: false
"""
