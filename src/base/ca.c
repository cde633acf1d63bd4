/* The system's authorities are where libcrypto was built to look for them. */
#include "fsp_ca.h"

#include <openssl/x509.h>

const char *fsp_ca_file(void)
{
	return X509_get_default_cert_file();
}

const char *fsp_ca_dir(void)
{
	return X509_get_default_cert_dir();
}
