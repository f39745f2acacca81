// SPDX-License-Identifier: Apache-2.0
// What is told of a certificate's file, and why one is refused.
#include "controlplane/sidecar/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/certificate_maker.h"

namespace penstock {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// 2026-11-27 12:00:00 UTC.
const sys_seconds kNow{seconds(1'795'780'800)};

CertificateText text_of(const std::string& name, const std::string& alternatives = "") {
  return {name, alternatives, kNow - days(10), kNow + days(80), false};
}

CertificateText authority(const std::string& name) {
  return {name, "", kNow - days(100), kNow + days(1000), true};
}

// A root, an intermediate and a server's certificate under it.
struct Issued {
  MadeCertificate root = make_certificate(authority("root"), make_ecdsa_key());
  MadeCertificate between = make_certificate(authority("between"), make_ecdsa_key(), &root);
  MadeCertificate server = make_certificate(text_of("example.com"), make_ecdsa_key(), &between);

  std::string key() const { return pem_of(server.key); }
  std::string own() const { return pem_of(server.certificate); }
  std::string intermediate() const { return pem_of(between.certificate); }
};

Certificate good(const std::string& pem) {
  const auto certificate = parse_certificate("/tls/site.pem", pem, kNow);
  if (certificate) return *certificate;
  ADD_FAILURE() << certificate.error().message;
  return {};
}

std::string fault(const std::string& pem, sys_seconds now = kNow) {
  const auto certificate = parse_certificate("/tls/site.pem", pem, now);
  if (certificate) return "it is good";
  EXPECT_EQ(certificate.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(certificate.error().message, StartsWith("/tls/site.pem: "));
  EXPECT_THAT(certificate.error().message, Not(HasSubstr("\n")));
  return certificate.error().message;
}

TEST(Certificate, TellsWhatItIs) {
  const auto made =
      make_certificate(text_of("ignored",
                               "DNS:example.com,DNS:*.example.com,IP:192.0.2.1,IP:2001:db8::1,"
                               "email:someone@example.com"),
                       make_ecdsa_key());
  const Certificate found = good(pem_of(made.certificate) + pem_of(made.key));
  EXPECT_EQ(found.path, "/tls/site.pem");
  EXPECT_THAT(found.names, ElementsAre("example.com", "*.example.com", "192.0.2.1", "2001:db8::1"));
  EXPECT_EQ(found.key_type, "ECDSA P-256");
  EXPECT_EQ(found.not_before, kNow - days(10));
  EXPECT_EQ(found.not_after, kNow + days(80));
  EXPECT_THAT(found.fingerprint, AllOf(SizeIs(95), MatchesRegex("([0-9A-F][0-9A-F]:?){32}")));
  EXPECT_EQ(found.issuer, "CN=ignored");
  EXPECT_TRUE(found.is_self_signed);
}

TEST(Certificate, TellsItsIssuer) {
  const Issued issued;
  const Certificate found = good(issued.own() + issued.intermediate() + issued.key());
  EXPECT_EQ(found.issuer, "CN=between");
  EXPECT_FALSE(found.is_self_signed);
}

TEST(Certificate, HasItsCommonNameWhenThereIsNoOther) {
  const auto made = make_certificate(text_of("old.example.com"), make_ecdsa_key());
  EXPECT_THAT(good(pem_of(made.certificate) + pem_of(made.key)).names,
              ElementsAre("old.example.com"));
}

TEST(Certificate, TellsNoControlCharacterOfItsNames) {
  const auto made = make_certificate(text_of("a\nb\x1b[2J"), make_ecdsa_key());
  const Certificate found = good(pem_of(made.certificate) + pem_of(made.key));
  EXPECT_THAT(found.names, ElementsAre("a?b?[2J"));
  EXPECT_THAT(found.issuer, AllOf(Not(HasSubstr("\n")), Not(HasSubstr("\x1b"))));
}

TEST(Certificate, TellsTheTypeOfItsKey) {
  const auto key_type = [](OpenSslPtr<EVP_PKEY> key) {
    const auto made = make_certificate(text_of("example.com"), std::move(key));
    return good(pem_of(made.certificate) + pem_of(made.key)).key_type;
  };
  EXPECT_EQ(key_type(make_rsa_key(2048)), "RSA 2048");
  EXPECT_EQ(key_type(make_ecdsa_key("P-384")), "ECDSA P-384");
  EXPECT_EQ(key_type(make_ed25519_key()), "Ed25519");
}

TEST(Certificate, TakesTheKeyInAnyPlaceAndForm) {
  const Issued issued;
  const std::string chain = issued.own() + issued.intermediate();
  const Certificate found = good(chain + issued.key());
  EXPECT_EQ(good(issued.key() + chain), found);
  EXPECT_EQ(good(issued.own() + issued.key() + issued.intermediate()), found);
  EXPECT_EQ(good(chain + traditional_pem_of(issued.server.key)), found);
  EXPECT_EQ(good("a remark\n" + chain + "another\n" + issued.key()), found);
}

TEST(Certificate, TakesAChainWithAndWithoutItsRoot) {
  const Issued issued;
  const std::string chain = issued.key() + issued.own() + issued.intermediate();
  EXPECT_EQ(good(chain + pem_of(issued.root.certificate)), good(chain));
  EXPECT_EQ(good(issued.key() + issued.own()), good(chain)) << "clients may have the intermediate";
}

TEST(Certificate, CountsTheWholeDaysThatAreLeft) {
  Certificate certificate;
  certificate.not_after = kNow;
  EXPECT_EQ(certificate.days_left(kNow - days(30)), 30);
  EXPECT_EQ(certificate.days_left(kNow - days(30) + seconds(1)), 29);
  EXPECT_EQ(certificate.days_left(kNow - hours(23)), 0);
  EXPECT_EQ(certificate.days_left(kNow + seconds(1)), -1);
}

// Files that are refused.

TEST(Certificate, RefusesAFileWithoutOne) {
  const Issued issued;
  EXPECT_THAT(fault(""), HasSubstr("there is no certificate in it: put the server's"));
  EXPECT_THAT(fault("hello\n"), HasSubstr("there is no certificate in it"));
  EXPECT_THAT(fault(issued.key()), HasSubstr("there is no certificate in it"));
}

TEST(Certificate, RefusesAFileWithoutAPrivateKey) {
  const Issued issued;
  EXPECT_THAT(fault(issued.own() + issued.intermediate()),
              HasSubstr("there is no private key in it: append it"));
}

TEST(Certificate, RefusesAnEncryptedKey) {
  const Issued issued;
  for (const std::string& key :
       {encrypted_pem_of(issued.server.key), encrypted_traditional_pem_of(issued.server.key)}) {
    EXPECT_THAT(
        fault(issued.own() + key),
        HasSubstr("the private key is encrypted, and nobody is there to type a passphrase"));
  }
}

TEST(Certificate, RefusesADamagedFile) {
  const Issued issued;
  const std::string own = issued.own();
  EXPECT_THAT(fault(issued.key() + own.substr(0, own.size() / 2)),
              HasSubstr("the PEM block 2 is damaged: copy the file anew"));
  std::string no_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(fault(no_certificate), HasSubstr("the PEM block 1 is damaged"));
  EXPECT_THAT(fault(own + "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n"),
              HasSubstr("the PEM block 2 is damaged"));
}

TEST(Certificate, RefusesAKeyOfAnotherCertificate) {
  const Issued issued;
  for (const auto& key : {pem_of(make_ecdsa_key()), pem_of(make_rsa_key())}) {
    EXPECT_THAT(fault(issued.own() + key),
                HasSubstr("the private key does not belong to the certificate: put the key into"));
  }
}

TEST(Certificate, RefusesOneThatIsNotValidYet) {
  const auto made = make_certificate(text_of("example.com"), make_ecdsa_key());
  const std::string pem = pem_of(made.certificate) + pem_of(made.key);
  EXPECT_THAT(fault(pem, kNow - days(10) - seconds(1)),
              HasSubstr("the certificate is not valid before 2026-11-17 12:00:00 UTC: check this "
                        "machine's clock"));
  EXPECT_EQ(fault(pem, kNow - days(10)), "it is good");
}

TEST(Certificate, RefusesOneThatExpired) {
  const auto made = make_certificate(text_of("example.com"), make_ecdsa_key());
  const std::string pem = pem_of(made.certificate) + pem_of(made.key);
  EXPECT_THAT(fault(pem, kNow + days(80) + seconds(1)),
              HasSubstr("the certificate expired at 2027-02-15 12:00:00 UTC: renew it"));
  EXPECT_EQ(fault(pem, kNow + days(80)), "it is good");
}

TEST(Certificate, RefusesAnIntermediateThatExpired) {
  Issued issued;
  CertificateText expired = authority("between");
  expired.end = kNow - days(1);
  const auto old = make_certificate(expired, std::move(issued.between.key), &issued.root);
  EXPECT_THAT(fault(issued.key() + issued.own() + pem_of(old.certificate)),
              AllOf(HasSubstr("the chain's certificate 2 (CN=between) expired at 2026-11-26"),
                    HasSubstr("fetch the chain anew")));
}

TEST(Certificate, RefusesAChainThatDoesNotBeginWithIt) {
  const Issued issued;
  EXPECT_THAT(fault(issued.intermediate() + issued.own() + issued.key()),
              HasSubstr("the chain is out of order: the private key is that of certificate 2: put "
                        "that one first"));
}

TEST(Certificate, RefusesAChainOutOfOrder) {
  const Issued issued;
  EXPECT_THAT(
      fault(issued.own() + pem_of(issued.root.certificate) + issued.intermediate() + issued.key()),
      HasSubstr("the chain is out of order: the certificate is not followed by the one "
                "that signed it"));
}

TEST(Certificate, RefusesAnIntermediateThatDidNotSignIt) {
  const Issued issued;
  const auto stranger = make_certificate(authority("stranger"), make_ecdsa_key(), &issued.root);
  const auto namesake = make_certificate(authority("between"), make_ecdsa_key(), &issued.root);
  for (const auto* other : {&stranger, &namesake}) {
    EXPECT_THAT(fault(issued.own() + pem_of(other->certificate) + issued.key()),
                AllOf(HasSubstr("the certificate is not signed by the chain's certificate 2"),
                      HasSubstr("put the intermediate there whose name is CN=between")));
  }
}

class CertificateFiles : public ::testing::Test {
 protected:
  CertificateFiles() {
    std::string pattern = testing::TempDir() + "penstock-certificate-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    site_ = (directory_ / "site.pem").string();
  }
  ~CertificateFiles() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& path, OpenSslPtr<EVP_PKEY> key) {
    const auto made = make_certificate(text_of("example.com"), std::move(key));
    std::ofstream(path) << pem_of(made.certificate) << pem_of(made.key);
  }
  std::string fault_of_all() const {
    const auto read = read_certificates(site_, kNow);
    return read ? "they are good" : read.error().message;
  }

  std::filesystem::path directory_;
  std::string site_;
};

TEST_F(CertificateFiles, AreReadFromTheirPath) {
  write(site_, make_ecdsa_key());
  const auto certificate = read_certificate(site_, kNow);
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_EQ(certificate->path, site_);
  EXPECT_FALSE(certificate->has_ocsp_response);
}

TEST_F(CertificateFiles, MayHaveAnOcspResponseBeside) {
  write(site_, make_ecdsa_key());
  std::ofstream(site_ + ".ocsp") << "a response";
  EXPECT_TRUE(read_certificate(site_, kNow)->has_ocsp_response);
}

TEST_F(CertificateFiles, AreNamedWhenTheyCannotBeRead) {
  EXPECT_EQ(fault_of_all(), site_ +
                                ": cannot be read: No such file or directory: name a PEM file that "
                                "is there and that penstock may read");
  std::filesystem::create_directory(site_);
  EXPECT_THAT(fault_of_all(), HasSubstr("cannot be read: Is a directory"));
}

TEST_F(CertificateFiles, ArePairedWhenOnlyThePairIsThere) {
  write(site_ + ".rsa", make_rsa_key());
  write(site_ + ".ecdsa", make_ecdsa_key());
  std::ofstream(site_ + ".ecdsa.ocsp") << "a response";
  const auto pair = read_certificates(site_, kNow);
  ASSERT_TRUE(pair) << pair.error().message;
  ASSERT_THAT(*pair, SizeIs(2));
  EXPECT_EQ(pair->at(0).key_type, "RSA 2048");
  EXPECT_EQ(pair->at(0).path, site_ + ".rsa");
  EXPECT_EQ(pair->at(1).key_type, "ECDSA P-256");
  EXPECT_FALSE(pair->at(0).has_ocsp_response);
  EXPECT_TRUE(pair->at(1).has_ocsp_response);
}

TEST_F(CertificateFiles, ArePassedOverAsAPairWhenTheFileItselfIsThere) {
  write(site_ + ".rsa", make_rsa_key());
  write(site_ + ".ecdsa", make_ecdsa_key());
  write(site_, make_ed25519_key());
  const auto single = read_certificates(site_, kNow);
  ASSERT_TRUE(single);
  EXPECT_THAT(*single, ElementsAre(*read_certificate(site_, kNow)));
}

TEST_F(CertificateFiles, AreRefusedAsHalfAPair) {
  write(site_ + ".ecdsa", make_ecdsa_key());
  EXPECT_EQ(fault_of_all(), site_ + ".rsa: is not there, but " + site_ +
                                ".ecdsa is: put both there, or name the one");
}

TEST_F(CertificateFiles, AreRefusedForEitherOfAPair) {
  write(site_ + ".rsa", make_rsa_key());
  std::ofstream(site_ + ".ecdsa") << "nothing";
  EXPECT_THAT(fault_of_all(), StartsWith(site_ + ".ecdsa: there is no certificate"));
}

}  // namespace
}  // namespace penstock
