-- SPDX-License-Identifier: GPL-3.0-or-later
-- The single-tenant schema before the migration, as Prisma makes it.
CREATE TYPE "PremiumTier" AS ENUM ('BASIC_MONTHLY', 'PRO_MONTHLY', 'BUSINESS_MONTHLY', 'LIFETIME');

CREATE TABLE users (
    id text NOT NULL,
    email text NOT NULL,
    name text,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX users_email_key ON users (email);

CREATE TABLE "EmailAccount" (
    id text NOT NULL,
    email text NOT NULL,
    "userId" text NOT NULL,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    CONSTRAINT "EmailAccount_pkey" PRIMARY KEY (id)
);
CREATE UNIQUE INDEX "EmailAccount_email_key" ON "EmailAccount" (email);

CREATE TABLE "Premium" (
    id text NOT NULL,
    "userId" text,
    tier "PremiumTier",
    "usedSeats" integer,
    "maxSeats" integer,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    CONSTRAINT "Premium_pkey" PRIMARY KEY (id)
);

CREATE TABLE "Session" (
    id text NOT NULL,
    "sessionToken" text NOT NULL,
    "userId" text NOT NULL,
    expires timestamp(3) without time zone NOT NULL,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    CONSTRAINT "Session_pkey" PRIMARY KEY (id)
);
CREATE UNIQUE INDEX "Session_sessionToken_key" ON "Session" ("sessionToken");

CREATE TABLE "Rule" (
    id text NOT NULL,
    name text NOT NULL,
    instructions text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    "emailAccountId" text NOT NULL,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    CONSTRAINT "Rule_pkey" PRIMARY KEY (id)
);
CREATE UNIQUE INDEX "Rule_name_emailAccountId_key" ON "Rule" (name, "emailAccountId");

CREATE TABLE _prisma_migrations (
    id character varying(36) NOT NULL PRIMARY KEY,
    checksum character varying(64) NOT NULL,
    finished_at timestamp with time zone,
    migration_name character varying(255) NOT NULL,
    logs text,
    rolled_back_at timestamp with time zone,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0
);
INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
VALUES ('6f0c7a52-2f0e-4d0c-9f0a-0d5a3a1c1e77',
        'a8f5f167f44f4964e6c998dee827110ca8f5f167f44f4964e6c998dee827110c',
        '2025-01-15 09:30:01+00', '20250115093000_init', '2025-01-15 09:30:00+00', 1);
