/* Where this system keeps the authorities that it trusts, for TLS. */
#ifndef FSP_CA_H
#define FSP_CA_H

/* One file of all, which need not exist; a directory of them by hash. */
const char *fsp_ca_file(void);
const char *fsp_ca_dir(void);

#endif
