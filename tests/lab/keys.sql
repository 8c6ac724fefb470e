-- SPDX-License-Identifier: GPL-3.0-or-later
-- The foreign keys, made after the rows; no index on the "userId" columns, as in the original.
ALTER TABLE "EmailAccount" ADD CONSTRAINT "EmailAccount_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Premium" ADD CONSTRAINT "Premium_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES users (id) ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Session" ADD CONSTRAINT "Session_userId_fkey"
    FOREIGN KEY ("userId") REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Rule" ADD CONSTRAINT "Rule_emailAccountId_fkey"
    FOREIGN KEY ("emailAccountId") REFERENCES "EmailAccount" (id) ON DELETE CASCADE ON UPDATE CASCADE;
